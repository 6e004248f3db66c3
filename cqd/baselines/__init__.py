"""What a link predictor has to beat."""
