"""How the files of a table are read: one module per SerDe family, chosen by what the Glue table says."""
