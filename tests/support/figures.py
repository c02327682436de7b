"""Whether a figure can be read."""

import itertools

from matplotlib.text import Text


def assert_legible(figure, width_mm=85, height_mm=240):
    """All text is of at least 6 pt and on the page, and none lies on other text."""
    figure.canvas.draw()
    assert figure.get_figwidth() * 25.4 <= width_mm + 1e-6
    assert figure.get_figheight() * 25.4 <= height_mm + 1e-6
    hidden = set()
    for axis in figure.findobj(lambda artist: hasattr(artist, "get_xticklabels")):
        for ticks, limits in ((axis.xaxis, axis.get_xlim()), (axis.yaxis, axis.get_ylim())):
            for tick in ticks.get_major_ticks():
                if not min(limits) <= tick.get_loc() <= max(limits):
                    hidden |= {tick.label1, tick.label2}
        if not axis.axison:
            hidden |= set(axis.xaxis.findobj(Text)) | set(axis.yaxis.findobj(Text))
    texts = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip() and t not in hidden]
    boxes = [(text.get_text(), Text.get_window_extent(text)) for text in texts]  # without leaders
    assert texts
    assert min(text.get_fontsize() for text in texts) >= 6
    for name, box in boxes:
        assert box.x0 >= -1, name
        assert box.y0 >= -1, name
        assert box.x1 <= figure.bbox.x1 + 1, name
        assert box.y1 <= figure.bbox.y1 + 1, name
    for (name, box), (other_name, other) in itertools.combinations(boxes, 2):
        assert not box.padded(-1).overlaps(other.padded(-1)), (name, other_name)
