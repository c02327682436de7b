"""The foundation of every room: errors, files, tables, records, digests of source, interruption.

Public: `errors`, `files`, `checksums`, `download`, `tab_separated`, `layout` (the paths below results/), `provenance`,
`code`, `registry`, `interruption`, `logs`. It imports no other room.
"""
