"""Judges: base says what one is.

sglang asks running servers, launch starts one, embedded runs in process, recorded reads logs.
"""
