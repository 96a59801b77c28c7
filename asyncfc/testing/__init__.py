"""The proof bench, public: a virtual-time loop, puppet tools, a sequential oracle, random programs."""
