"""The report: numbers of a run as figures and one page, offline and without scripts.

numbers makes small results of long arrays; drawing and figures make pictures of them; page makes the HTML.
"""
