// One end of a NORM session by NRL's library, of which each word of the command line sets something:
//
//   nrl send    to=ADDRESS port=PORT node=NODE file=PATH …
//   nrl receive to=ADDRESS port=PORT node=NODE file=PATH …
//
// to is the group, or for unicast the other end. Both print a line for each thing that happens. The sender
// ends once the receiver has acknowledged (exit code 0) or is given up (1); the receiver runs until it is
// killed.
//
// g++ -O1 nrl.cc -o nrl -lnorm

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <string>

#include <normApi.h>

static std::map<std::string, std::string> words;

static std::string word(const char *name, const char *otherwise = "") {
    return words.count(name) ? words[name] : otherwise;
}

static double number(const char *name, double otherwise) {
    return words.count(name) ? atof(words[name].c_str()) : otherwise;
}

// What is left to write to a stream. Its buffer holds all of it: what leaves the buffer is not repaired.
struct Stream {
    NormObjectHandle handle = NORM_OBJECT_INVALID;
    std::string bytes;
    size_t at = 0;

    void write(NormSessionHandle session) {
        if (handle == NORM_OBJECT_INVALID || at == bytes.size()) return;
        at += NormStreamWrite(handle, bytes.data() + at, bytes.size() - at);
        if (at < bytes.size()) return;
        NormStreamFlush(handle, true, NORM_FLUSH_ACTIVE);
        NormSetWatermark(session, handle, true);
    }
};

static int send(NormInstanceHandle instance, NormSessionHandle session) {
    std::ifstream file(word("file"), std::ios::binary);
    // The library takes the bytes as they are needed, so they must stay.
    static std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    std::string kind = word("kind", "data");
    if (number("cc", 0)) {
        NormSetCongestionControl(session, true);
        NormSetTxRateBounds(session, number("least", -1), -1);
    } else {
        NormSetTxRate(session, number("rate", 50e6));
    }
    NormSetAutoParity(session, number("auto", 0));
    NormSetBackoffFactor(session, number("backoff", 4));
    NormSetGroupSize(session, 10);
    NormSetTxRobustFactor(session, number("robust", 200));
    std::istringstream receivers(word("receiver"));
    for (std::string node; std::getline(receivers, node, ',');) NormAddAckingNode(session, atoi(node.c_str()));
    if (!NormStartSender(session, 1, 16 << 20, 1400, number("block", 64), number("parity", 16), number("fec", 0))) {
        return 3;
    }
    Stream stream;
    NormObjectHandle object;
    if (kind == "file") {
        object = NormFileEnqueue(session, word("file").c_str(), "name", 4);
    } else if (kind == "stream") {
        object = stream.handle = NormStreamOpen(session, 4 << 20, "name", 4);
        stream.bytes = bytes;
    } else {
        object = NormDataEnqueue(session, bytes.data(), bytes.size(), "name", 4);
    }
    if (object == NORM_OBJECT_INVALID) return 4;
    stream.write(session);
    if (kind != "stream") NormSetWatermark(session, object);
    NormEvent event;
    while (NormGetNextEvent(instance, &event)) {
        if (event.type == NORM_TX_QUEUE_VACANCY || event.type == NORM_TX_QUEUE_EMPTY) stream.write(session);
        if (event.type == NORM_TX_RATE_CHANGED) printf("rate %.0f\n", NormGetTxRate(session));
        if (event.type == NORM_TX_FLUSH_COMPLETED) printf("flushed\n");
        if (event.type == NORM_TX_WATERMARK_COMPLETED) {
            bool success = NormGetAckingStatus(session) == NORM_ACK_SUCCESS;
            printf("watermark %s\n", success ? "success" : "failure");
            return success ? 0 : 1;
        }
    }
    return 5;
}

// Takes what has come of a stream to the end of the file.
static void read(NormObjectHandle stream) {
    static size_t total = 0;
    std::ofstream file(word("file"), std::ios::binary | std::ios::app);
    char buffer[65536];
    for (;;) {
        unsigned int length = sizeof buffer;
        bool whole = NormStreamRead(stream, buffer, &length);
        if (!whole) printf("broken\n");
        if (whole && length == 0) break;
        file.write(buffer, length);
        total += length;
    }
    file.close();
    printf("bytes %zu\n", total);
}

static int receive(NormInstanceHandle instance, NormSessionHandle session) {
    NormSetDefaultUnicastNack(session, number("unicast", 0));
    NormSetSilentReceiver(session, number("silent", 0));
    // By itself the library begins a stream with the first segment that comes, and asks for none before it.
    NormSetDefaultSyncPolicy(session, NORM_SYNC_STREAM);
    if (!NormStartReceiver(session, 64 << 20)) return 3;
    NormSetRxSocketBuffer(session, 4 << 20);
    printf("ready\n");
    NormEvent event;
    while (NormGetNextEvent(instance, &event)) {
        if (event.type == NORM_RX_OBJECT_INFO) {
            char info[2000] = {};
            NormObjectGetInfo(event.object, info, sizeof info - 1);
            printf("info %s\n", info);
        }
        if (event.type == NORM_RX_OBJECT_UPDATED && NormObjectGetType(event.object) == NORM_OBJECT_STREAM) {
            read(event.object);
        }
        if (event.type == NORM_RX_OBJECT_ABORTED) printf("aborted\n");
        if (event.type != NORM_RX_OBJECT_COMPLETED) continue;
        if (NormObjectGetType(event.object) == NORM_OBJECT_DATA) {
            std::ofstream file(word("file"), std::ios::binary);
            file.write(NormDataAccessData(event.object), NormObjectGetSize(event.object));
            file.close();
            printf("completed data\n");
        } else if (NormObjectGetType(event.object) == NORM_OBJECT_FILE) {
            NormFileRename(event.object, word("file").c_str());
            printf("completed file\n");
        } else {
            printf("completed stream\n");
        }
    }
    return 5;
}

int main(int argc, char **argv) {
    for (int index = 2; index < argc; index++) {
        std::string text = argv[index];
        size_t sign = text.find('=');
        words[text.substr(0, sign)] = text.substr(sign + 1);
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    NormInstanceHandle instance = NormCreateInstance();
    if (words.count("cache")) NormSetCacheDirectory(instance, word("cache").c_str());
    std::string to = word("to");
    NormSessionHandle session = NormCreateSession(instance, to.c_str(), number("port", 0), number("node", 0));
    if (session == NORM_SESSION_INVALID) return 2;
    if (!NormIsUnicastAddress(to.c_str())) NormSetMulticastInterface(session, "eth0");
    NormSetGrttEstimate(session, 0.1);
    NormSetGrttProbingInterval(session, 0.1, 1);
    return argv[1] == std::string("send") ? send(instance, session) : receive(instance, session);
}
