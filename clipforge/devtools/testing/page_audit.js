// What a person would see to be wrong with a page: put into every page that a test opens.
// Each function returns sentences; none means that nothing is wrong.

window.looks = (() => {
    const shown = (element) =>
        element.checkVisibility({ visibilityProperty: true, opacityProperty: true });

    const called = (element) => {
        const words = (element.textContent || element.value || element.name || "").trim().slice(0, 40);
        const classes = [...element.classList].map((name) => `.${name}`).join("");
        return `<${element.localName}${element.id && `#${element.id}`}${classes}> "${words}"`;
    };

    // --- colours, as the browser computes them ------------------------------------------------

    const parse = (text) => {
        const numbers = text.match(/-?[\d.]+(e-?\d+)?/g)?.map(Number) ?? [0, 0, 0, 0];
        const scale = text.startsWith("color(") ? 255 : 1;
        const [red, green, blue, alpha = 1] = numbers;
        return [red * scale, green * scale, blue * scale, alpha];
    };

    const over = (top, below) => {
        const alpha = top[3];
        const mix = (channel) => top[channel] * alpha + below[channel] * (1 - alpha);
        return [mix(0), mix(1), mix(2), 1];
    };

    // What lies under an element: its own ground and those it lets through.
    const ground = (element) => {
        const layers = [];
        for (let each = element; each; each = each.parentElement) {
            layers.push(parse(getComputedStyle(each).backgroundColor));
            if (layers.at(-1)[3] === 1) break;
        }
        return layers.reduceRight((below, layer) => over(layer, below), [255, 255, 255, 1]);
    };

    const luminance = (colour) => {
        const [red, green, blue] = colour.slice(0, 3).map((channel) => {
            const share = channel / 255;
            return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    };

    const contrast = (one, other) => {
        const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
        return (light + 0.05) / (dark + 0.05);
    };

    // WCAG 2: letters of 24 pixels, or bold ones of 18.66, need 3; all others 4.5.
    const needed = (style) => {
        const size = parseFloat(style.fontSize);
        return size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
    };

    const writers = () => {
        const found = new Set();
        const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        while (walker.nextNode()) {
            if (walker.currentNode.data.trim()) found.add(walker.currentNode.parentElement);
        }
        for (const field of document.querySelectorAll("input, select, textarea")) {
            if (field.type !== "hidden") found.add(field);
        }
        return [...found].filter((element) => {
            const box = element.getBoundingClientRect();
            return shown(element) && !element.matches("script, style, option, :disabled, [hidden]")
                && box.width > 1 && box.height > 1;
        });
    };

    const faint = () => {
        const found = [];
        const check = (element, colour, what) => {
            const below = ground(element);
            const ratio = contrast(over(parse(colour), below), below);
            if (ratio < needed(getComputedStyle(element))) {
                found.push(`${what} of ${called(element)} has a contrast of ${ratio.toFixed(2)}`);
            }
        };
        for (const element of writers()) {
            const style = getComputedStyle(element);
            check(element, element instanceof SVGElement ? style.fill : style.color, "text");
            if (element.placeholder) {
                check(element, getComputedStyle(element, "::placeholder").color, "placeholder");
            }
            if (element.matches("input:not([type=checkbox], [type=radio]), select, textarea")) {
                const around = ground(element.parentElement);
                const edge = parse(style.borderTopWidth === "0px" ? style.backgroundColor : style.borderTopColor);
                const ratio = Math.max(contrast(over(edge, around), around), contrast(ground(element), around));
                if (ratio < 3) found.push(`edge of ${called(element)} has a contrast of ${ratio.toFixed(2)}`);
            }
        }
        return found;
    };

    // --- width --------------------------------------------------------------------------------

    const overflowing = () => {
        const most = document.documentElement.clientWidth;
        if (document.documentElement.scrollWidth <= most) return [];
        const wide = [...document.querySelectorAll("body *")].filter(
            (element) => shown(element) && element.getBoundingClientRect().right > most + 1,
        );
        return [`the page is ${document.documentElement.scrollWidth} wide, of ${most}: ` +
            wide.slice(0, 5).map(called).join(", ")];
    };

    // --- words --------------------------------------------------------------------------------

    // Django's own, whose heading or legend names them for who sees.
    const NAMED_NEARBY = ".vDateField, .vTimeField, .tabular *";

    const nameOf = (element) => {
        const own = element.getAttribute("aria-label") || element.getAttribute("aria-labelledby")
            || element.title || element.textContent || (element.type === "submit" ? element.value : "");
        const inside = element.querySelector("[alt], [aria-label], [title]");
        return own.trim() || inside?.getAttribute("alt") || inside?.getAttribute("aria-label")
            || inside?.title;
    };

    const nameless = () => {
        const found = [];
        for (const field of document.querySelectorAll("input, select, textarea, button, a[href]")) {
            if (field.type === "hidden" || !shown(field) || field.matches(NAMED_NEARBY)) continue;
            const named = [field, ...(field.labels ?? [])].some((element) => nameOf(element)?.trim());
            if (!named) found.push(`${called(field)} has no name`);
        }
        if (document.querySelectorAll("h1").length > 1) found.push("more than one <h1>");
        if (!document.title.trim()) found.push("no title");
        return found;
    };

    // --- scripts ------------------------------------------------------------------------------

    const LEADS = ["href", "xlink:href", "src", "action", "formaction"];

    // The policy refuses them, but says so only when somebody comes to the one that is written.
    const handlers = () => [...document.querySelectorAll("*")].flatMap((element) =>
        [...element.attributes].filter(({ name, value }) =>
            /^on/i.test(name) || (LEADS.includes(name) && /^\s*javascript:/i.test(value)),
        ).map(({ name }) => `${called(element)} has a script in ${name}`));

    // --- keyboard -----------------------------------------------------------------------------

    const STOPS = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex]";

    // Everything that the Tab key must reach. Of radio buttons of one name, it reaches one.
    const stops = () => [...document.querySelectorAll(STOPS)].filter((element) =>
        shown(element) && element.tabIndex >= 0 && !element.disabled && element.type !== "radio");

    const marked = new Set();
    let last = null;

    // Called after each press of Tab: null when the focus has left the page.
    const step = () => {
        const element = document.activeElement;
        if (element && element === last) return [];  // a date has a stop for each of its parts
        if (!element || element === document.body || marked.has(element)) return null;
        marked.add(element);
        last = element;
        const style = getComputedStyle(element);
        const box = element.getBoundingClientRect();
        const found = [];
        const ring = parseFloat(style.outlineWidth) >= 2 && style.outlineStyle !== "none"
            && contrast(over(parse(style.outlineColor), ground(element.parentElement)), ground(element.parentElement));
        if (!(ring >= 3)) found.push(`${called(element)} does not show that it has the focus`);
        const inside = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
        if (!inside) found.push(`${called(element)} has the focus outside of what is seen`);
        return found;
    };

    const missed = () => stops().filter((element) => !marked.has(element)).map(
        (element) => `${called(element)} is not reached`);

    return { faint, overflowing, nameless, handlers, step, missed };
})();

document.addEventListener("securitypolicyviolation", (event) => {
    console.error(`policy: ${event.effectiveDirective} refuses ${event.blockedURI} (${event.sample})`);
});
