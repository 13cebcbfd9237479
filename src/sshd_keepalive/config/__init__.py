"""The files that users write: inventories and configuration files. The only package that reads YAML.

`document` turns text into nodes that know their place, `shapes` reads nodes into values and collects every
mistake on the way, `settings` is the table of the settings of a host, and `schema` publishes that same table
as JSON Schema.
"""
