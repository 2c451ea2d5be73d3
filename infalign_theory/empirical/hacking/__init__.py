"""Will a reward be hacked: proxy and truth of base samples, before any training."""
