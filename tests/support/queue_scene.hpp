#pragma once

#include <chrono>
#include <future>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <tandem/queue.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/fault_proxy.hpp"
#include "support/patience.hpp"
#include "support/protocol_name.hpp"
#include "support/reports.hpp"

namespace tandem::support {

using Jobs = Queue<std::string>;

/// A queue of a private server, by both protocols.
class QueueScene : public ::testing::TestWithParam<int> {
 protected:
  // A wait that must succeed fails its test after this instead of hanging.
  static constexpr std::chrono::seconds long_enough{20};
  // Less than it takes until who waits and is told nothing looks in.
  static constexpr std::chrono::seconds before_it_looks_in{4};

  [[nodiscard]] Options options() { return options(server_.url()); }
  [[nodiscard]] Options options(std::string const& url) {
    auto out = Options::from_url(url);
    out.protocol = GetParam();
    out.on_error = reports_.hook();
    return out;
  }
  [[nodiscard]] Client client() { return Client{options()}; }

  /// The values of all that can be had at once, acknowledged.
  static std::vector<std::string> drained(Jobs& jobs) {
    std::vector<std::string> out;
    while (auto job = jobs.try_pop()) {
      out.push_back(job->value());
      job->ack();
    }
    return out;
  }

  /// A pop on a thread of its own, which has begun to wait when this returns.
  std::future<std::optional<Job<std::string>>> waiting_pop(Jobs jobs, std::stop_token stop = {}) {
    auto const before = jobs.state().waiting;
    auto out = std::async(std::launch::async,
                          [jobs, stop]() mutable { return jobs.pop(long_enough, stop); });
    EXPECT_TRUE(eventually([&] { return jobs.state().waiting == before + 1; }));
    return out;
  }

  /// The same queue for another client, to whom what is said comes so much later than answers do.
  struct Far {
    Far(QueueScene& scene, std::chrono::milliseconds late, QueueOptions const& of_queue = {})
        : proxy{scene.server_} {
      auto options = scene.options(proxy.url());
      options.command_timeout = long_enough;  // the event connection bears the delay
      jobs.emplace(Client{options}, "jobs", of_queue);
      auto const before = scene.jobs_.state().waiting;
      std::stop_source listens;
      auto first = scene.waiting_pop(*jobs, listens.get_token());
      listens.request_stop();
      EXPECT_FALSE(first.get());
      EXPECT_TRUE(eventually([&] { return scene.jobs_.state().waiting == before; }));
      proxy.delay_where_asked("SUBSCRIBE", late);
    }
    FaultProxy proxy;
    std::optional<Jobs> jobs{};
  };

  /// When each of the jobs that are taken is given to another, in microseconds, by queue and ticket.
  std::map<std::string, double> ends_of(std::string const& queue) {
    std::map<std::string, double> out;
    for (auto const& [ticket, end] :
         redis_.command("ZRANGE", "{" + queue + "}:taken", 0, -1, "WITHSCORES")
             .as<std::vector<std::pair<std::string, double>>>())
      out.emplace(std::string{queue}.append(" ").append(ticket), end);
    return out;
  }
  /// The same, of the first.
  double first_end() {
    return redis_.command("ZRANGE", "{jobs}:taken", 0, 0, "WITHSCORES")
        .as<std::vector<std::pair<std::string, double>>>()
        .at(0)
        .second;
  }

  testing::RedisServer server_{};
  Reports reports_{};
  Client redis_ = client();
  Jobs jobs_{redis_, "jobs"};
};

}  // namespace tandem::support
