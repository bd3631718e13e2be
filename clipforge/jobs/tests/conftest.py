from clipforge.devtools.testing.videos import cut_off, sound_only, still, talk

__all__ = ["cut_off", "sound_only", "still", "talk"]
