#include "core/attendant.hpp"

#include <chrono>
#include <initializer_list>
#include <new>
#include <string>
#include <utility>

#include <fmt/core.h>

#include "core/describe.hpp"

namespace tandem::detail {
namespace {

constexpr auto long_silence = std::chrono::seconds{5};
// Who is told slowly is told of so many at once; of what fails meanwhile only how many it were.
constexpr std::size_t most_reports = 1000;

/// A command whose reply nobody waits for. It ends its own life when its fate is known.
class Posted final : public Request {
 public:
  Posted(Attendant& attendant, std::string what)
      : Request{{&reply_, 1}}, attendant_{attendant}, what_{std::move(what)} {}

 private:
  void finished() noexcept override {
    std::unique_ptr<Posted> const last_moment{this};
    try {
      if (fate() == Fate::not_executed) {
        attendant_.report(std::make_unique<Unreachable>(fmt::format("{} ({})", why(), what_)));
      } else if (fate() == Fate::in_doubt) {
        attendant_.report(std::make_unique<InDoubt>(fmt::format("{} ({})", why(), what_)));
      } else if (reply_.is_error()) {
        attendant_.report(std::make_unique<ServerError>(reply_.error_text(), what_));
      }
    } catch (std::bad_alloc const&) {  // nor is there memory to say so
    }
  }

  Attendant& attendant_;
  std::string what_;
  Reply reply_{nullptr};
};

/// Only whether it is answered counts; the line sees to that.
class Ping final : public Request {
 public:
  Ping() : Request{{&reply_, 1}} {}

 private:
  void finished() noexcept override { delete this; }

  Reply reply_{nullptr};
};

}  // namespace

Attendant::~Attendant() { report_what_failed(); }

bool Attendant::post(Line& line, CommandBuffer const& command) {
  auto posted = std::make_unique<Posted>(*this, describe(command));
  if (!line.post(command.bytes(), *posted)) return false;
  (void)posted.release();  // it may have ended already
  return true;
}

void Attendant::report(std::unique_ptr<Error> error) noexcept {
  try {
    std::lock_guard const guard{mutex_};
    if (failed_.size() >= most_reports) {
      ++failed_besides_;
      return;
    }
    failed_.push_back(std::move(error));
  } catch (std::bad_alloc const&) {
    return;  // nor is there memory to say so
  }
  events_.wake();
}

void Attendant::report_what_failed() noexcept {
  std::vector<std::unique_ptr<Error>> failed;
  std::size_t besides = 0;
  {
    std::lock_guard const guard{mutex_};
    failed.swap(failed_);
    besides = std::exchange(failed_besides_, 0);
  }
  for (auto const& error : failed) options_.report(*error);
  if (besides > 0) {
    options_.report(Error{fmt::format("tandem: {} more posted commands failed", besides)});
  }
}

pollfd Attendant::watch() {
  auto const line = line_.current();
  watched_ = line;
  return line != nullptr ? line->unattended() : pollfd{-1, 0, 0};
}

void Attendant::on_ready() {
  if (auto const line = watched_.lock()) line->attend();
}

Deadline Attendant::on_time(Deadline now) {
  report_what_failed();
  auto const line = line_.current();
  if (line == nullptr) return now + long_silence;
  line->attend();  // what lies here unread is not late; on_ready may not have been called for long
  auto const health = line->examine(now, long_silence);
  if (health.silent) {
    CommandBuffer command;
    command.add(std::initializer_list<Argument>{"PING"});
    auto ping = std::make_unique<Ping>();
    if (line->post(command.bytes(), *ping)) (void)ping.release();
  }
  return health.look_again;
}

}  // namespace tandem::detail
