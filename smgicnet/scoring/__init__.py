"""From fields and label maps to numbers, and from numbers to summaries and comparisons.

Public: `evaluation`, `hausdorff`, `statistics`, `comparisons`, `resampling`, `shown_pairs`. It may import core,
registration, imaging, preparation and methods.
"""
