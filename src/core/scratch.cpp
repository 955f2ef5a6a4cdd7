#include "core/scratch.hpp"

#include <cstddef>
#include <utility>

namespace tandem::detail {
namespace {

// A large value is not kept in memory because it was sent once.
constexpr std::size_t most_kept = 64 * 1024;

// Plain data: a client with static storage may be used after this thread's destructors have run.
struct Spare {
  CommandBuffer* buffer = nullptr;
  bool over = false;
};
thread_local Spare spare;

struct FreesSpare {
  ~FreesSpare() {
    delete std::exchange(spare.buffer, nullptr);
    spare.over = true;
  }
  void be_there() const noexcept {}
};
thread_local FreesSpare const at_the_threads_end;

}  // namespace

ScratchCommand::ScratchCommand() : buffer_{std::exchange(spare.buffer, nullptr)} {
  if (buffer_ == nullptr) buffer_ = new CommandBuffer;
}

ScratchCommand::~ScratchCommand() {
  if (spare.buffer != nullptr || spare.over || buffer_->capacity() > most_kept) {
    delete buffer_;
    return;
  }
  at_the_threads_end.be_there();
  buffer_->clear();
  spare.buffer = buffer_;
}

}  // namespace tandem::detail
