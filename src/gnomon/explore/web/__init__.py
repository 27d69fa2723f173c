"""The front end: pages, styles and scripts as they are served; nothing is built."""
