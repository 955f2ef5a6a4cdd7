#pragma once

#include <cerrno>
#include <new>
#include <system_error>
#include <type_traits>

#include <sys/mman.h>

namespace tandem::support {

/// One T that this process shares with the children it forks from now on. Its atomics work between
/// processes.
template <class T>
class Shared {
 public:
  static_assert(std::is_trivially_destructible_v<T>,
                "nobody knows which process would be the last to destroy it");

  Shared() {
    auto* const place =
        ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (place == MAP_FAILED) throw std::system_error{errno, std::generic_category(), "mmap"};
    value_ = new (place) T{};
  }
  Shared(Shared const&) = delete;
  Shared& operator=(Shared const&) = delete;
  ~Shared() { ::munmap(value_, sizeof(T)); }

  T& operator*() const noexcept { return *value_; }
  T* operator->() const noexcept { return value_; }

 private:
  T* value_;
};

}  // namespace tandem::support
