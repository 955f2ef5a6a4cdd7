#include "core/bell.hpp"

#include <cerrno>
#include <cstdint>
#include <utility>

#include <sys/eventfd.h>
#include <unistd.h>

namespace tandem::detail {

Bell::Bell() noexcept {
  NoFork const until_it_is_noted;
  fd_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd_ < 0) error_ = errno;
}

Bell::~Bell() {
  NoFork const until_it_is_forgotten;
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

void Bell::ring() const noexcept {
  std::uint64_t const one = 1;
  while (fd_ >= 0 && ::write(fd_, &one, sizeof one) < 0 && errno == EINTR) {
  }
}

void Bell::silence() const noexcept {
  std::uint64_t count = 0;
  while (fd_ >= 0 && ::read(fd_, &count, sizeof count) < 0 && errno == EINTR) {
  }
}

void Bell::close_in_child(void* bell) noexcept {
  auto& self = *static_cast<Bell*>(bell);
  if (self.fd_ >= 0) ::close(std::exchange(self.fd_, -1));
}

}  // namespace tandem::detail
