"""Secret references, their resolution, and the limit on refused passwords."""
