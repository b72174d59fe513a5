import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.Field;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArrayList;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs main classes one after the other, or beside each other, in one JVM: the start of a JVM per tool would take longer
 * than the tools. Orders come as lines of JSON on stdin, an answer goes to stdout for each:
 *
 *   {"do": "run", "name": N, "class": C, "args": [...], "stdin": TEXT, "seconds": S}   until main ends, at most S
 *   {"do": "start", ...}    the same, does not wait
 *   {"do": "read", "name": N}    what it has printed until now
 *   {"do": "stop", "name": N, "seconds": S}    runs the shutdown hooks that it registered, and waits for its end
 *
 * Answer: {"status": exit status or null while it runs, "out": TEXT, "err": TEXT}. What a program prints is told apart by
 * the thread that prints: threads inherit the program they belong to. Exits go through Kafka's Exit. Hooks run when main
 * ends, as they would when the JVM does; of a program that runs beside others only those that it gave to Kafka's Exit:
 * whose a hook of the JVM is cannot be told (Jetty has one for all servers).
 */
public class Driver {
    /** One program. */
    static final class Run {
        final ByteArrayOutputStream out = new ByteArrayOutputStream(), err = new ByteArrayOutputStream();
        final List<Runnable> hooks = new CopyOnWriteArrayList<>();
        final Set<Thread> othersHooks = new HashSet<>(jvmHooks());
        final InputStream stdin;
        final boolean isBeside; // other programs
        volatile Integer status;
        Thread thread;

        Run(String stdin, boolean isBeside) {
            this.isBeside = isBeside;
            this.stdin = new ByteArrayInputStream(stdin.getBytes(StandardCharsets.UTF_8));
        }

        void end(int status) {
            if (this.status == null)
                this.status = status;
        }

        /** Runs the hooks beside each other, each once. */
        void runHooks() {
            List<Thread> threads = new ArrayList<>();
            while (!hooks.isEmpty()) {
                Runnable hook = hooks.remove(0);
                threads.add(new Thread(() -> {
                    CURRENT.set(this);
                    hook.run();
                }, "hook"));
            }
            for (Thread hook : isBeside ? List.<Thread>of() : jvmHooks())
                if (!othersHooks.contains(hook) && Runtime.getRuntime().removeShutdownHook(hook))
                    threads.add(hook);
            for (Thread hook : threads) {
                hook.setDaemon(true);
                hook.start();
            }
            try {
                for (Thread hook : threads)
                    hook.join(HOOKS_MS);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }
    }

    /** Thrown where a program would have ended the JVM; an Error, because programs catch Exception. */
    static final class Ended extends Error {
        Ended() {
            super("the program ends", null, false, false);
        }
    }

    /** The hooks that were given to the JVM, not to Kafka's Exit: some tools do that. */
    @SuppressWarnings("unchecked")
    static List<Thread> jvmHooks() {
        try {
            Field hooks = Class.forName("java.lang.ApplicationShutdownHooks").getDeclaredField("hooks");
            hooks.setAccessible(true); // with --add-opens java.base/java.lang=ALL-UNNAMED
            return new ArrayList<>(((Map<Thread, Thread>) hooks.get(null)).keySet());
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException(e);
        }
    }

    static final InheritableThreadLocal<Run> CURRENT = new InheritableThreadLocal<>();
    static final Map<String, Run> RUNS = new HashMap<>();
    static final long HOOKS_MS = 30000;
    static final ObjectMapper JSON = new ObjectMapper();
    static final PrintStream REAL_ERR = System.err;

    static PrintStream printer(boolean isErr) {
        return new PrintStream(new OutputStream() {
            OutputStream target() {
                Run run = CURRENT.get();
                return run == null ? REAL_ERR : isErr ? run.err : run.out;
            }

            @Override
            public void write(int b) throws IOException {
                target().write(b);
            }

            @Override
            public void write(byte[] b, int at, int n) throws IOException {
                target().write(b, at, n);
            }
        }, true, StandardCharsets.UTF_8);
    }

    static InputStream reader() {
        return new InputStream() {
            @Override
            public int read() throws IOException {
                Run run = CURRENT.get();
                return run == null ? -1 : run.stdin.read();
            }

            @Override
            public int read(byte[] b, int at, int n) throws IOException {
                Run run = CURRENT.get();
                return run == null ? -1 : run.stdin.read(b, at, n);
            }
        };
    }

    static Run start(JsonNode order) {
        Run run = new Run(order.path("stdin").asText(""), order.get("do").asText().equals("start"));
        String[] arguments = new String[order.get("args").size()];
        for (int i = 0; i < arguments.length; i++)
            arguments[i] = order.get("args").get(i).asText();
        String name = order.get("class").asText();
        RUNS.put(order.get("name").asText(), run);
        run.thread = new Thread(null, () -> main(run, name, arguments), "run-" + name);
        run.thread.setDaemon(true);
        run.thread.start();
        return run;
    }

    static void main(Run run, String name, String[] arguments) {
        CURRENT.set(run);
        try {
            Class.forName(name).getMethod("main", String[].class).invoke(null, (Object) arguments);
            run.end(0);
        } catch (InvocationTargetException e) {
            if (!(e.getCause() instanceof Ended))
                e.getCause().printStackTrace();
            run.end(1);
        } catch (ReflectiveOperationException e) {
            e.printStackTrace();
            run.end(1);
        }
        run.runHooks();
    }

    static String text(ByteArrayOutputStream from) {
        return from.toString(StandardCharsets.UTF_8);
    }

    static ObjectNode answer(JsonNode order) throws InterruptedException {
        long limitMs = order.path("seconds").asLong(60) * 1000;
        Run run;
        switch (order.get("do").asText()) {
            case "run":
                run = start(order);
                run.thread.join(limitMs);
                break;
            case "start":
                run = start(order);
                break;
            case "stop":
                run = RUNS.get(order.get("name").asText());
                run.runHooks();
                run.thread.join(limitMs);
                break;
            default:
                run = RUNS.get(order.get("name").asText());
        }
        ObjectNode out = JSON.createObjectNode();
        if (run.thread.isAlive())
            out.putNull("status");
        else
            out.put("status", run.status);
        return out.put("out", text(run.out)).put("err", text(run.err));
    }

    public static void main(String[] a) throws Exception {
        BufferedReader orders = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream answers = System.out;
        System.setOut(printer(false));
        System.setErr(printer(true));
        System.setIn(reader());
        Exit.Procedure exit = (status, message) -> {
            Run run = CURRENT.get();
            if (run != null) {
                if (message != null)
                    System.err.println(message);
                run.end(status);
            }
            throw new Ended();
        };
        Exit.setExitProcedure(exit);
        Exit.setHaltProcedure(exit);
        Exit.setShutdownHookAdder((name, hook) -> {
            if (CURRENT.get() != null)
                CURRENT.get().hooks.add(hook);
        });
        for (Iterator<String> i = orders.lines().iterator(); i.hasNext(); ) {
            answers.println(JSON.writeValueAsString(answer(JSON.readTree(i.next()))));
            answers.flush();
        }
        Runtime.getRuntime().halt(0); // programs leave threads behind
    }
}
