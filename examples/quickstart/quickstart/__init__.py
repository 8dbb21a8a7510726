"""DS-FL in a Flower app of one's own."""
