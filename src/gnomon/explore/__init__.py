"""The explorer: campaigns and crystal files as pages to look at, and as an OPTIMADE provider."""
