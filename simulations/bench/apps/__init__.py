"""Flower apps that know nothing of fedkd; Flower's runtime takes this folder as the code of an app."""
