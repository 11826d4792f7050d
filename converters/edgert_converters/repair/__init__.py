"""`--precision auto`: finds what costs accuracy and repairs it at the smallest cost on the target."""
