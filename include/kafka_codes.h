/*
 * kafka_codes.h - the error codes of the protocol, by the names of Kafka's Errors.java (4.3 ends at
 * 133).
 *
 * Owner: immutable. For dataplane/kafka, control and the tools; storage/ and net/ speak E_name
 * (errors.h).
 */
#ifndef MILLRACE_KAFKA_CODES_H
#define MILLRACE_KAFKA_CODES_H

#include "base.h"

#define KAFKA_CODES(CODE)                           \
    CODE(UNKNOWN_SERVER_ERROR, -1)                  \
    CODE(NONE, 0)                                   \
    CODE(OFFSET_OUT_OF_RANGE, 1)                    \
    CODE(CORRUPT_MESSAGE, 2)                        \
    CODE(UNKNOWN_TOPIC_OR_PARTITION, 3)             \
    CODE(INVALID_FETCH_SIZE, 4)                     \
    CODE(LEADER_NOT_AVAILABLE, 5)                   \
    CODE(NOT_LEADER_OR_FOLLOWER, 6)                 \
    CODE(REQUEST_TIMED_OUT, 7)                      \
    CODE(BROKER_NOT_AVAILABLE, 8)                   \
    CODE(REPLICA_NOT_AVAILABLE, 9)                  \
    CODE(MESSAGE_TOO_LARGE, 10)                     \
    CODE(STALE_CONTROLLER_EPOCH, 11)                \
    CODE(OFFSET_METADATA_TOO_LARGE, 12)             \
    CODE(NETWORK_EXCEPTION, 13)                     \
    CODE(COORDINATOR_LOAD_IN_PROGRESS, 14)          \
    CODE(COORDINATOR_NOT_AVAILABLE, 15)             \
    CODE(NOT_COORDINATOR, 16)                       \
    CODE(INVALID_TOPIC_EXCEPTION, 17)               \
    CODE(RECORD_LIST_TOO_LARGE, 18)                 \
    CODE(NOT_ENOUGH_REPLICAS, 19)                   \
    CODE(NOT_ENOUGH_REPLICAS_AFTER_APPEND, 20)      \
    CODE(INVALID_REQUIRED_ACKS, 21)                 \
    CODE(ILLEGAL_GENERATION, 22)                    \
    CODE(INCONSISTENT_GROUP_PROTOCOL, 23)           \
    CODE(INVALID_GROUP_ID, 24)                      \
    CODE(UNKNOWN_MEMBER_ID, 25)                     \
    CODE(INVALID_SESSION_TIMEOUT, 26)               \
    CODE(REBALANCE_IN_PROGRESS, 27)                 \
    CODE(INVALID_COMMIT_OFFSET_SIZE, 28)            \
    CODE(TOPIC_AUTHORIZATION_FAILED, 29)            \
    CODE(GROUP_AUTHORIZATION_FAILED, 30)            \
    CODE(CLUSTER_AUTHORIZATION_FAILED, 31)          \
    CODE(INVALID_TIMESTAMP, 32)                     \
    CODE(UNSUPPORTED_SASL_MECHANISM, 33)            \
    CODE(ILLEGAL_SASL_STATE, 34)                    \
    CODE(UNSUPPORTED_VERSION, 35)                   \
    CODE(TOPIC_ALREADY_EXISTS, 36)                  \
    CODE(INVALID_PARTITIONS, 37)                    \
    CODE(INVALID_REPLICATION_FACTOR, 38)            \
    CODE(INVALID_REPLICA_ASSIGNMENT, 39)            \
    CODE(INVALID_CONFIG, 40)                        \
    CODE(NOT_CONTROLLER, 41)                        \
    CODE(INVALID_REQUEST, 42)                       \
    CODE(UNSUPPORTED_FOR_MESSAGE_FORMAT, 43)        \
    CODE(POLICY_VIOLATION, 44)                      \
    CODE(OUT_OF_ORDER_SEQUENCE_NUMBER, 45)          \
    CODE(DUPLICATE_SEQUENCE_NUMBER, 46)             \
    CODE(INVALID_PRODUCER_EPOCH, 47)                \
    CODE(INVALID_TXN_STATE, 48)                     \
    CODE(INVALID_PRODUCER_ID_MAPPING, 49)           \
    CODE(INVALID_TRANSACTION_TIMEOUT, 50)           \
    CODE(CONCURRENT_TRANSACTIONS, 51)               \
    CODE(TRANSACTION_COORDINATOR_FENCED, 52)        \
    CODE(TRANSACTIONAL_ID_AUTHORIZATION_FAILED, 53) \
    CODE(SECURITY_DISABLED, 54)                     \
    CODE(OPERATION_NOT_ATTEMPTED, 55)               \
    CODE(KAFKA_STORAGE_ERROR, 56)                   \
    CODE(LOG_DIR_NOT_FOUND, 57)                     \
    CODE(SASL_AUTHENTICATION_FAILED, 58)            \
    CODE(UNKNOWN_PRODUCER_ID, 59)                   \
    CODE(REASSIGNMENT_IN_PROGRESS, 60)              \
    CODE(DELEGATION_TOKEN_AUTH_DISABLED, 61)        \
    CODE(DELEGATION_TOKEN_NOT_FOUND, 62)            \
    CODE(DELEGATION_TOKEN_OWNER_MISMATCH, 63)       \
    CODE(DELEGATION_TOKEN_REQUEST_NOT_ALLOWED, 64)  \
    CODE(DELEGATION_TOKEN_AUTHORIZATION_FAILED, 65) \
    CODE(DELEGATION_TOKEN_EXPIRED, 66)              \
    CODE(INVALID_PRINCIPAL_TYPE, 67)                \
    CODE(NON_EMPTY_GROUP, 68)                       \
    CODE(GROUP_ID_NOT_FOUND, 69)                    \
    CODE(FETCH_SESSION_ID_NOT_FOUND, 70)            \
    CODE(INVALID_FETCH_SESSION_EPOCH, 71)           \
    CODE(LISTENER_NOT_FOUND, 72)                    \
    CODE(TOPIC_DELETION_DISABLED, 73)               \
    CODE(FENCED_LEADER_EPOCH, 74)                   \
    CODE(UNKNOWN_LEADER_EPOCH, 75)                  \
    CODE(UNSUPPORTED_COMPRESSION_TYPE, 76)          \
    CODE(STALE_BROKER_EPOCH, 77)                    \
    CODE(OFFSET_NOT_AVAILABLE, 78)                  \
    CODE(MEMBER_ID_REQUIRED, 79)                    \
    CODE(PREFERRED_LEADER_NOT_AVAILABLE, 80)        \
    CODE(GROUP_MAX_SIZE_REACHED, 81)                \
    CODE(FENCED_INSTANCE_ID, 82)                    \
    CODE(ELIGIBLE_LEADERS_NOT_AVAILABLE, 83)        \
    CODE(ELECTION_NOT_NEEDED, 84)                   \
    CODE(NO_REASSIGNMENT_IN_PROGRESS, 85)           \
    CODE(GROUP_SUBSCRIBED_TO_TOPIC, 86)             \
    CODE(INVALID_RECORD, 87)                        \
    CODE(UNSTABLE_OFFSET_COMMIT, 88)                \
    CODE(THROTTLING_QUOTA_EXCEEDED, 89)             \
    CODE(PRODUCER_FENCED, 90)                       \
    CODE(RESOURCE_NOT_FOUND, 91)                    \
    CODE(DUPLICATE_RESOURCE, 92)                    \
    CODE(UNACCEPTABLE_CREDENTIAL, 93)               \
    CODE(INCONSISTENT_VOTER_SET, 94)                \
    CODE(INVALID_UPDATE_VERSION, 95)                \
    CODE(FEATURE_UPDATE_FAILED, 96)                 \
    CODE(PRINCIPAL_DESERIALIZATION_FAILURE, 97)     \
    CODE(SNAPSHOT_NOT_FOUND, 98)                    \
    CODE(POSITION_OUT_OF_RANGE, 99)                 \
    CODE(UNKNOWN_TOPIC_ID, 100)                     \
    CODE(DUPLICATE_BROKER_REGISTRATION, 101)        \
    CODE(BROKER_ID_NOT_REGISTERED, 102)             \
    CODE(INCONSISTENT_TOPIC_ID, 103)                \
    CODE(INCONSISTENT_CLUSTER_ID, 104)              \
    CODE(TRANSACTIONAL_ID_NOT_FOUND, 105)           \
    CODE(FETCH_SESSION_TOPIC_ID_ERROR, 106)         \
    CODE(INELIGIBLE_REPLICA, 107)                   \
    CODE(NEW_LEADER_ELECTED, 108)                   \
    CODE(OFFSET_MOVED_TO_TIERED_STORAGE, 109)       \
    CODE(FENCED_MEMBER_EPOCH, 110)                  \
    CODE(UNRELEASED_INSTANCE_ID, 111)               \
    CODE(UNSUPPORTED_ASSIGNOR, 112)                 \
    CODE(STALE_MEMBER_EPOCH, 113)                   \
    CODE(MISMATCHED_ENDPOINT_TYPE, 114)             \
    CODE(UNSUPPORTED_ENDPOINT_TYPE, 115)            \
    CODE(UNKNOWN_CONTROLLER_ID, 116)                \
    CODE(UNKNOWN_SUBSCRIPTION_ID, 117)              \
    CODE(TELEMETRY_TOO_LARGE, 118)                  \
    CODE(INVALID_REGISTRATION, 119)                 \
    CODE(TRANSACTION_ABORTABLE, 120)                \
    CODE(INVALID_RECORD_STATE, 121)                 \
    CODE(SHARE_SESSION_NOT_FOUND, 122)              \
    CODE(INVALID_SHARE_SESSION_EPOCH, 123)          \
    CODE(FENCED_STATE_EPOCH, 124)                   \
    CODE(INVALID_VOTER_KEY, 125)                    \
    CODE(DUPLICATE_VOTER, 126)                      \
    CODE(VOTER_NOT_FOUND, 127)                      \
    CODE(INVALID_REGULAR_EXPRESSION, 128)           \
    CODE(REBOOTSTRAP_REQUIRED, 129)                 \
    CODE(STREAMS_INVALID_TOPOLOGY, 130)             \
    CODE(STREAMS_INVALID_TOPOLOGY_EPOCH, 131)       \
    CODE(STREAMS_TOPOLOGY_FENCED, 132)              \
    CODE(SHARE_SESSION_LIMIT_REACHED, 133)

enum kafka_code {
#define CODE(name, number) KAFKA_##name = number,
    KAFKA_CODES(CODE)
#undef CODE
};

#endif
