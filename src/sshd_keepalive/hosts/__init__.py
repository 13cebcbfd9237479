"""What every kind of inventory shares: targets, ranges, inheritance, ways in, selection, warnings."""
