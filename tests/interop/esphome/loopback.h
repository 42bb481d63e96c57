// ESPHome's API listens on every address, at the port of its configuration. This `bind` goes before
// that of the C library, and takes loopback and the port that API_PORT names.

#pragma once

#include <cstdlib>
#include <netinet/in.h>
#include <sys/syscall.h>
#include <unistd.h>

extern "C" int bind(int socket, const sockaddr *, socklen_t) noexcept {
  sockaddr_in here{};
  here.sin_family = AF_INET;
  here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  here.sin_port = htons(static_cast<uint16_t>(std::atoi(std::getenv("API_PORT"))));
  return static_cast<int>(syscall(SYS_bind, socket, &here, sizeof here));
}
