#pragma once

#include <memory>
#include <utility>

#include "buffering/flusher.hpp"

namespace tandem::detail {

/// The buffer that an object adds to, in one process; its end flushes what is left, or leaves it to
/// the client's end.
template <class Kind>
class InUse {
 public:
  InUse(Flusher& flusher, std::shared_ptr<Kind> buffer)
      : flusher_{flusher}, buffer_{std::move(buffer)} {}
  InUse(InUse const&) = delete;
  InUse& operator=(InUse const&) = delete;
  ~InUse() { flusher_.retire(buffer_); }

  [[nodiscard]] Flusher& flusher() const noexcept { return flusher_; }
  [[nodiscard]] Kind* operator->() const noexcept { return buffer_.get(); }
  void wants_a_look() { flusher_.look_at(buffer_); }

 private:
  Flusher& flusher_;
  std::shared_ptr<Kind> buffer_;
};

}  // namespace tandem::detail
