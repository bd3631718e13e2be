"""Captions: a transcript as subtitles beside a clip, and as text drawn into its pictures."""
