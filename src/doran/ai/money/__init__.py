"""What answers cost: prices, the allowances of people and of the deployment, and the switch that stops it all."""
