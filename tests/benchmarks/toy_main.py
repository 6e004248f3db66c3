"""The command over toy benchmarks; the peer torch is a package that no index has."""

from benchmarks import environments, main

if __name__ == "__main__":
    toy = main.Benchmark("tests.benchmarks.toy_benchmark", ("torch",), threads=1)
    nowhere = environments.Peer("nowhere", ("no-such-package-as-this==1",), "nowhere")
    main.main(benchmarks=dict.fromkeys(("first", "broken", "endless"), toy), peers={"torch": nowhere})
