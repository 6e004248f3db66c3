"""What every run needs: one binary contract, a workdir that resumes, metrics, checkpoints, figures.

Knows nothing of the papers. A system's main.py calls `app.main`; a run module has `load(config)` and
`run(config, data, workdir)`.
"""
