"""The search algorithms, one file each; `ALGORITHMS` names them for recipes."""
