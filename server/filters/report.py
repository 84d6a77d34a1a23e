"""What became of a filter, as the contract's message."""

from protos import retrieval_v1_pb2 as retrieval_pb
from server.filters.conditions import FilterPath, FilterReport

_PATHS = {
    FilterPath.EXACT: retrieval_pb.FILTER_PATH_EXACT,
    FilterPath.WIDENED: retrieval_pb.FILTER_PATH_WIDENED,
    FilterPath.FELL_BACK: retrieval_pb.FILTER_PATH_EXACT,
}


def report_message(report: FilterReport) -> retrieval_pb.FilterReport:
    """Return the message of a report."""
    return retrieval_pb.FilterReport(
        num_matching=report.num_matching,
        path=_PATHS[report.path],
        unknown_attributes=report.unknown_attributes,
    )
