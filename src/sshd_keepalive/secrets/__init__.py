"""Secret references, how each is resolved, and the limit on refused passwords."""
