"""What every kind of inventory shares: targets, ranges, inheritance, jump hosts, selection, warnings."""
