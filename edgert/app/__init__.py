"""What apps are made of: frame sources, the loop, the live page, systemd's watchdog (docs/apps.md). Runs on boards."""
