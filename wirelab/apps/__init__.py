"""The programs that the lessons build up to; none of them imports anything of the kit."""
