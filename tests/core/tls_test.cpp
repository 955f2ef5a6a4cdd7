#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tandem/client.hpp>
#include <tandem/core/connection.hpp>
#include <tandem/testing/redis_server.hpp>

#include "support/certificates.hpp"
#include "support/patience.hpp"
#include "support/sockets.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::Certificates;
using support::stall;
using support::time_of;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::RedisServer;
using testing::RedisServerOptions;
using testing::RedisServerTls;

class TlsTest : public ::testing::Test {
 protected:
  RedisServerOptions server_options(std::vector<std::string> arguments = {}) {
    arguments.insert(arguments.end(), {"--tls-ca-cert-file", certificates_.authority()});
    return {.arguments = std::move(arguments),
            .tls = RedisServerTls{signed_.certificate, signed_.key}};
  }

  /// Options for `server` as localhost, trusting our authority.
  Options options(
      RedisServer const& server, std::function<void(Options&)> const& change = [](Options&) {}) {
    auto out = Options::from_url("rediss://localhost");
    out.port = server.tls_port();
    out.tls.ca_file = certificates_.authority();
    out.connect_timeout = 10s;
    out.command_timeout = 10s;
    change(out);
    return out;
  }

  static std::string refusal(Options const& options) {
    try {
      Connection const wire{options};
    } catch (Unreachable const& fault) {
      return fault.what();
    }
    return "connected";
  }

  Certificates certificates_{};
  Certificates::Signed signed_ = certificates_.sign("server", "DNS:localhost");
};

// ---- Who the server is ----

TEST_F(TlsTest, ServerOfATrustedAuthorityIsAccepted) {
  RedisServer const server{server_options()};
  Connection wire{options(server)};
  EXPECT_EQ(wire.command("PING").as<std::string>(), "PONG");
  EXPECT_EQ(wire.protocol(), 3);
}

TEST_F(TlsTest, UrlSaysItAll) {
  RedisServer const server{server_options({"--requirepass", "secret"})};
  Connection wire{"rediss://:secret@localhost:" + std::to_string(server.tls_port()) +
                  "/3?ca=" + certificates_.authority() + "&name=billing&connect_timeout=10s"};
  EXPECT_THAT(wire.command("CLIENT", "LIST").as<std::string>(), HasSubstr("name=billing"));
}

TEST_F(TlsTest, ServerOfAnotherAuthorityIsRefused) {
  RedisServer const server{server_options()};
  Certificates const others;
  EXPECT_THAT(refusal(options(server, [&](Options& o) { o.tls.ca_file = others.authority(); })),
              HasSubstr("TLS handshake with rediss://localhost"));
  EXPECT_THAT(refusal(options(server, [](Options& o) { o.tls.ca_file = ""; })),
              HasSubstr("certificate"));  // the system's
}

TEST_F(TlsTest, ServerOfAnotherNameIsRefused) {
  RedisServer const server{server_options()};
  EXPECT_THAT(refusal(options(server, [](Options& o) { o.host = "127.0.0.1"; })),
              HasSubstr("IP address mismatch"));
  EXPECT_THAT(refusal(options(server, [](Options& o) { o.tls.server_name = "cache.example"; })),
              HasSubstr("ostname mismatch"));
}

TEST_F(TlsTest, ServerNameMayDifferFromTheHost) {
  RedisServer const server{server_options()};
  Connection wire{options(server, [](Options& o) {
    o.host = "127.0.0.1";
    o.tls.server_name = "localhost";
  })};
  EXPECT_EQ(wire.command("PING").as<std::string>(), "PONG");
}

TEST_F(TlsTest, AddressInTheCertificateIsAName) {
  signed_ = certificates_.sign("address", "IP:127.0.0.1");
  RedisServer const server{server_options()};
  EXPECT_EQ(refusal(options(server, [](Options& o) { o.host = "127.0.0.1"; })), "connected");
  EXPECT_NE(refusal(options(server)), "connected");
}

TEST_F(TlsTest, VerificationCanBeTurnedOff) {
  RedisServer const server{server_options()};
  Connection wire{options(server, [](Options& o) {
    o.host = "127.0.0.1";
    o.tls.ca_file = "";
    o.tls.verify = false;
  })};
  EXPECT_EQ(wire.command("PING").as<std::string>(), "PONG");
}

// ---- Who we are ----

TEST_F(TlsTest, ClientShowsItsCertificateWhereItIsAskedFor) {
  RedisServer const server{server_options({"--tls-auth-clients", "yes"})};
  auto const ours = certificates_.sign("client", "DNS:client");
  Connection wire{options(server, [&](Options& o) {
    o.tls.certificate_file = ours.certificate;
    o.tls.key_file = ours.key;
  })};
  EXPECT_EQ(wire.command("PING").as<std::string>(), "PONG");
}

TEST_F(TlsTest, ClientWithoutTheWantedCertificateIsUnreachable) {
  RedisServer const server{server_options({"--tls-auth-clients", "yes"})};
  EXPECT_THAT(refusal(options(server)),
              AnyOf(HasSubstr("certificate required"), HasSubstr("closed the connection"),
                    HasSubstr("reset by peer"), HasSubstr("Broken pipe")));
  Certificates const others;
  auto const theirs = others.sign("client", "DNS:client");
  EXPECT_NE(refusal(options(server,
                            [&](Options& o) {
                              o.tls.certificate_file = theirs.certificate;
                              o.tls.key_file = theirs.key;
                            })),
            "connected");
}

TEST_F(TlsTest, FaultIsNotBlamedOnACertificateThatNobodyAskedAbout) {
  RedisServer const server{
      server_options({"--tls-auth-clients", "yes", "--tls-protocols", "TLSv1.2"})};
  EXPECT_THAT(refusal(options(server,
                              [](Options& o) {
                                o.tls.ca_file = "";
                                o.tls.verify = false;
                              })),
              AllOf(HasSubstr("alert"), Not(HasSubstr("self-signed"))));
}

TEST_F(TlsTest, FileThatCannotBeUsedIsNamed) {
  RedisServer const server{server_options()};
  auto const other = certificates_.sign("other", "DNS:other");
  EXPECT_THAT(refusal(options(server, [](Options& o) { o.tls.ca_file = "/no/such/ca.pem"; })),
              HasSubstr("/no/such/ca.pem"));
  EXPECT_THAT(refusal(options(server,
                              [&](Options& o) {
                                o.tls.certificate_file = "/no/such/c.pem";
                                o.tls.key_file = other.key;
                              })),
              HasSubstr("/no/such/c.pem"));
  EXPECT_THAT(refusal(options(server,
                              [&](Options& o) {
                                o.tls.certificate_file = signed_.certificate;
                                o.tls.key_file = other.key;  // of another certificate
                              })),
              HasSubstr(other.key));
}

// ---- A server that does not play along ----

TEST_F(TlsTest, ServerThatSpeaksNoTlsIsUnreachable) {
  RedisServer const server{{.tcp = true}};
  auto const plain = options(server, [&](Options& o) {
    o.port = server.port();
    o.connect_timeout = 300ms;  // redis-server waits for the end of the line
  });
  EXPECT_THAT(refusal(plain), HasSubstr("TLS handshake"));
}

TEST_F(TlsTest, PlainClientOfATlsServerIsUnreachable) {
  RedisServer const server{server_options()};
  auto const plain = options(server, [](Options& o) {
    o.tls.enabled = false;
    o.connect_timeout = 1s;
  });
  EXPECT_NE(refusal(plain), "connected");
}

TEST_F(TlsTest, HandshakeWithASilentServerEndsAtTheConnectDeadline) {
  auto const [listener, port] = support::listen_on_tcp();
  auto options =
      Options::from_url("rediss://127.0.0.1:" + std::to_string(port) + "?connect_timeout=200ms");
  auto const took = time_of([&] { EXPECT_THAT(refusal(options), HasSubstr("timeout")); });
  EXPECT_GE(took, 200ms);
  EXPECT_LT(took, 200ms + stall);
}

TEST_F(TlsTest, UnansweredCommandIsInDoubtAtTheDeadline) {
  RedisServer server{server_options()};
  Connection wire{options(server, [](Options& o) { o.command_timeout = 200ms; })};
  server.pause();
  auto const took = time_of([&] { EXPECT_THROW(wire.command("INCR", "n"), InDoubt); });
  EXPECT_LT(took, 200ms + stall);
  server.resume();
  EXPECT_THROW(wire.command("PING"), Unreachable);
}

TEST_F(TlsTest, KilledServerLeavesACommandInDoubt) {
  RedisServer server{server_options()};
  Connection wire{options(server)};
  server.pause();
  std::thread killer{[&] { server.kill(); }};
  EXPECT_THROW(wire.command("INCR", "n"), Error);
  killer.join();
  EXPECT_FALSE(wire.usable());
}

// ---- What goes through ----

TEST_F(TlsTest, ValuesAreBytesOfAnyLength) {
  RedisServer const server{server_options()};
  Connection wire{options(server, [](Options& o) { o.command_timeout = 60s; })};
  for (auto const& value :
       {std::string{}, std::string{"a\r\n\0\xff", 5}, std::string(16 << 20, 'x')}) {
    wire.command("SET", "k", value);
    EXPECT_EQ(wire.command("GET", "k").as<std::string>(), value) << value.size();
  }
}

TEST_F(TlsTest, PipelineLargerThanAnyBufferKeepsItsOrder) {
  RedisServer const server{server_options()};
  Connection wire{options(server, [](Options& o) { o.command_timeout = 60s; })};
  auto pipeline = wire.pipeline();
  for (int i = 0; i < 10'000; ++i) pipeline.command("ECHO", i);
  auto const replies = pipeline.execute();
  ASSERT_EQ(replies.size(), 10'000U);
  for (int i = 0; i < 10'000; ++i) ASSERT_EQ(replies[static_cast<std::size_t>(i)].as<int>(), i);
}

TEST_F(TlsTest, ClientKeepsItsOneConnection) {
  RedisServer const server{server_options()};
  Client redis{options(server)};
  auto const id = redis.command("CLIENT", "ID").as<int>();
  for (int i = 0; i < 100; ++i) EXPECT_EQ(redis.command("CLIENT", "ID").as<int>(), id);
}

}  // namespace
}  // namespace tandem
