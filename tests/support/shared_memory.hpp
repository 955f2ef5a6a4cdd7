#pragma once

#include <cerrno>
#include <new>
#include <system_error>
#include <type_traits>
#include <utility>

#include <sys/mman.h>
#include <unistd.h>

#include "support/sockets.hpp"

namespace tandem::support {

/// One T that this process shares with the children it forks from now on, and with programs that it
/// gives its descriptor. Its atomics work between processes.
template <class T>
class Shared {
 public:
  static_assert(std::is_trivially_destructible_v<T>,
                "nobody knows which process would be the last to destroy it");

  Shared() : descriptor_{::memfd_create("shared", MFD_CLOEXEC)} {
    if (descriptor_.get() < 0 || ::ftruncate(descriptor_.get(), sizeof(T)) != 0)
      throw std::system_error{errno, std::generic_category(), "memfd_create"};
    value_ = new (map()) T{};
  }
  /// The one that another process made, and gave its descriptor to this one.
  explicit Shared(Descriptor descriptor)
      : descriptor_{std::move(descriptor)}, value_{static_cast<T*>(map())} {}
  Shared(Shared const&) = delete;
  Shared& operator=(Shared const&) = delete;
  ~Shared() { ::munmap(value_, sizeof(T)); }

  T& operator*() const noexcept { return *value_; }
  T* operator->() const noexcept { return value_; }
  [[nodiscard]] int descriptor() const noexcept { return descriptor_.get(); }

 private:
  [[nodiscard]] void* map() const {
    auto* const place =
        ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor_.get(), 0);
    if (place == MAP_FAILED) throw std::system_error{errno, std::generic_category(), "mmap"};
    return place;
  }

  Descriptor descriptor_;
  T* value_ = nullptr;
};

}  // namespace tandem::support
