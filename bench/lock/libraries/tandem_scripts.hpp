#pragma once

#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <tandem/client.hpp>
#include <tandem/lock.hpp>

#include "bare.hpp"
#include "lock/library.hpp"
#include "monitor.hpp"

namespace bench::lock {

/// The commands of `tandem::Lock`, its own scripts, sent by hiredis alone: the limit of what the
/// library can reach with them.
///
/// What they are is not written down here but overheard, once, from a `tandem::Lock`: so a change
/// of a script or of its arguments is followed. They are repeated word by word, but for the fence,
/// which is each time that of the last answer. It cannot wait: for one caller.
class TandemScripts final : public Library {
 public:
  explicit TandemScripts(Task const& task) : connection_{Bare::over_unix(task.socket)} {
    std::string fence;
    auto const heard = overhear(task, fence);
    if (heard.size() != 2) {
      throw std::runtime_error{"tandem sends " + std::to_string(heard.size()) +
                               " commands to acquire and release"};
    }
    words_ = heard;
    acquire_.assign(words_[0].begin(), words_[0].end());
    release_.assign(words_[1].begin(), words_[1].end());
    fence_at_ = static_cast<std::size_t>(std::find(release_.begin(), release_.end(), fence) -
                                         release_.begin());
  }

  [[nodiscard]] std::string text() const override {
    return "tandem's own scripts, EVALSHA by hiredis alone";
  }
  void acquire(int /*caller*/) override {
    auto const reply = connection_.command(acquire_);
    if (reply->elements < 2 || reply->element[0]->integer != 1)
      throw std::runtime_error{"not free"};
    if (fence_at_ == release_.size()) return;
    fence_ = std::to_string(reply->element[1]->integer);
    release_[fence_at_] = fence_;
  }
  void release(int /*caller*/) override {
    if (connection_.command(release_)->integer != 1) throw std::runtime_error{"not released"};
  }

 private:
  static std::vector<std::vector<std::string>> overhear(Task const& task, std::string& fence) {
    tandem::Lock const lock{
        tandem::Client{"unix://" + task.socket}, task.name, {.lease = task.lease}};
    lock.acquire().release();  // so that the server knows the scripts
    Monitor monitor{task.socket};
    auto hold = lock.acquire();
    fence = std::to_string(hold.fence());
    hold.release();
    std::vector<std::vector<std::string>> out;
    for (auto const& [by_script, words] : monitor.stop()) {
      if (!by_script && std::find(words.begin(), words.end(), task.name) != words.end())
        out.push_back(words);
    }
    return out;
  }

  Bare connection_;
  std::vector<std::vector<std::string>> words_{};
  std::vector<std::string_view> acquire_{};  // views of words_
  std::vector<std::string_view> release_{};
  std::size_t fence_at_ = 0;  // in release_
  std::string fence_{};
};

}  // namespace bench::lock
