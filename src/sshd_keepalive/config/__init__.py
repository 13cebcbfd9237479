"""The files that users write: inventories and configuration files. The only package that reads YAML.

`document` turns text into nodes that know their place, `settings` is the table of the settings of a host and reads
nodes into values, and `schema` publishes that same table as JSON Schema.
"""
