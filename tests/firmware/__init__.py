"""The peers for microcontrollers, in `firmware`, against ours."""
