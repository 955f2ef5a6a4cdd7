#include "core/fork.hpp"

#include <atomic>
#include <mutex>

#include <pthread.h>

namespace tandem::detail {

struct ForkHooks {
  std::mutex mutex;
  ForkHook* first = nullptr;
  std::atomic<unsigned> generation{0};

  ForkHooks() {
    pthread_atfork([] { instance().mutex.lock(); }, [] { instance().mutex.unlock(); },
                   [] { instance().child(); });
  }

  // Never destroyed: clients with static storage may be destroyed after any object of ours would
  // be.
  static ForkHooks& instance() {
    static auto* const hooks = new ForkHooks;
    return *hooks;
  }

  void child() {
    generation.fetch_add(1, std::memory_order_relaxed);
    for (auto const* each = first; each != nullptr; each = each->next_)
      each->in_child_(each->owner_);
    mutex.unlock();  // this thread took it before the fork
  }

  void add(ForkHook& hook) {
    std::lock_guard const guard{mutex};
    hook.next_ = first;
    if (first != nullptr) first->previous_ = &hook;
    first = &hook;
  }

  void remove(ForkHook& hook) {
    std::lock_guard const guard{mutex};
    (hook.previous_ != nullptr ? hook.previous_->next_ : first) = hook.next_;
    if (hook.next_ != nullptr) hook.next_->previous_ = hook.previous_;
  }
};

unsigned fork_generation() noexcept {
  return ForkHooks::instance().generation.load(std::memory_order_relaxed);
}

ForkHook::ForkHook(void* owner, InChild in_child) : owner_{owner}, in_child_{in_child} {
  ForkHooks::instance().add(*this);
}

ForkHook::~ForkHook() { ForkHooks::instance().remove(*this); }

NoFork::NoFork() { ForkHooks::instance().mutex.lock(); }

NoFork::~NoFork() { ForkHooks::instance().mutex.unlock(); }

}  // namespace tandem::detail
