"""Simulated meetings with exact turns, out of folders with one voice each. ``simulate.py`` is the command.

voices -> turn-taking -> rooms -> noise -> channel -> FLAC and RTTM, streamed: ten hours take no more memory than ten minutes.
"""
