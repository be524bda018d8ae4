"""The web server of `curator review`. It may use steps and the page; nothing but the command uses it."""
