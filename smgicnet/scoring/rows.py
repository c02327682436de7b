"""Names in the rows of metrics."""

OVER_ROIS = "mean"  # the ROI of a row that holds the mean over a pair's ROIs; empty where a pair has one number
NO_RESULT = "no_result_percent"  # the metric of an ordered pair of which a program may leave no result
