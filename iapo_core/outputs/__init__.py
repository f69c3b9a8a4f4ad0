"""What leaves the product: figures, reports and exports."""
