def test_tiny(tiny_run):
    print(sorted(p.relative_to(tiny_run).as_posix() for p in tiny_run.rglob("*")))
