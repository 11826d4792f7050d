"""The laptop's side of deployment: releases of apps, and their way onto one board or many."""
