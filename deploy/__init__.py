"""Everything that puts the service somewhere: deploy/README.md is the map. Imported by nothing that runs there."""
