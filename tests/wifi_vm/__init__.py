"""Wi-Fi as it is: NetworkManager, wpa_supplicant and hostapd on the kernel's radios in memory.

    make test-wifi                    a kernel and daemons of Debian 13
    make test-wifi ARGS="-k link -x"  ARGS goes to the pytest in the machine

The tests here, and the suite of `tests/services/test_wifi_radios.py`, run in a machine of
`tests.vm`.
"""
